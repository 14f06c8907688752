package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/google/uuid"
	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"
)

// marketCommands are those of a node of the marketplace and of its host.
var marketCommands = withMarketHost(commands[*market]{
	"register": {bulkLimit, withArgs(registerArgs{List: true}, registerAgent)},
	"delist":   {bulkLimit, withArgs(agentArgs{}, delistAgent)},
	"publish":  {bulkLimit, withArgs(publishListingArgs{}, publishListing)},
	"listings": {bulkLimit, withArgs(noArgs{}, listListings)},
	"value":    {shortLimit, withArgs(keyArgs{}, rawValue)},
	"info":     {bulkLimit, withArgs(peerArgs{}, askInfo)},
	"order":    {bulkLimit, withArgs(orderArgs{}, placeOrder)},
	"orders":   {shortLimit, withArgs(noArgs{}, listOrders)},
	"execute":  {bulkLimit, withArgs(executeArgs{}, execute)},
	"ask":      {bulkLimit, withArgs(askArgs{}, askRaw)},
	"calls":    {shortLimit, withArgs(agentArgs{}, countCalls)},
	"balance":  {shortLimit, withArgs(noArgs{}, tellBalance)},
	"transfer": {bulkLimit, withArgs(transferArgs{}, sendUnits)},
	"ledger":   {bulkLimit, withArgs(noArgs{}, checkLedger)},
	"rewrite":  {shortLimit, withArgs(rewriteArgs{}, rewrite)},
	"did":      {shortLimit, withArgs(didArgs{}, deriveDID)},
	"sign":     {shortLimit, withArgs(signArgs{}, signAuthorization)},
})

func withMarketHost(known commands[*market]) commands[*market] {
	for _, table := range []commands[*pubsubHost]{hostCommands, {
		"pubsub_mesh": pubsubCommands["pubsub_mesh"], "pubsub_peers": pubsubCommands["pubsub_peers"],
	}} {
		for name, one := range table {
			known[name] = command[*market]{one.limit, func(ctx context.Context, m *market, rawArgs []byte) (fields, error) {
				return one.run(ctx, m.pubsub, rawArgs)
			}}
		}
	}
	return known
}

type agentArgs struct {
	ID string `json:"agent"`
}

type peerArgs struct {
	Peer peer.ID `json:"peer"`
}

type registerArgs struct {
	Name   string  `json:"name"`
	Price  float64 `json:"price"`
	Prefix string  `json:"prefix"`
	Fails  bool    `json:"fails"`
	List   bool    `json:"list"`
}

func registerAgent(ctx context.Context, m *market, args registerArgs) (fields, error) {
	id, err := m.didOf(args.Name)
	if err != nil {
		return nil, err
	}
	metadata, err := m.addMetadata(ctx, args.Name, args.Prefix)
	if err != nil {
		return nil, fmt.Errorf("store the metadata: %w", err)
	}
	made := &agent{id: id, name: args.Name, price: args.Price, metadata: metadata, prefix: args.Prefix, fails: args.Fails, listed: args.List}
	m.mutex.Lock()
	m.agents[id] = made
	m.mutex.Unlock()
	if args.List {
		err = m.publish(ctx, m.listingOf(made).message("list"))
	}
	return fields{"agent": id, "metadata": metadata}, err
}

func delistAgent(ctx context.Context, m *market, args agentArgs) (fields, error) {
	own := m.agentOf(args.ID)
	if own == nil {
		return nil, errors.New("no such agent")
	}
	m.mutex.Lock()
	own.listed = false
	m.mutex.Unlock()
	return nil, m.publish(ctx, m.listingOf(own).message("delist"))
}

type publishListingArgs struct {
	Message json.RawMessage `json:"message"`
}

// publishListing says in the topic whatever it is told to.
func publishListing(ctx context.Context, m *market, args publishListingArgs) (fields, error) {
	return nil, m.listings.Publish(ctx, args.Message)
}

func listListings(ctx context.Context, m *market, _ noArgs) (fields, error) {
	found, err := m.all(ctx)
	return fields{"listings": found}, err
}

func rawValue(ctx context.Context, m *market, args keyArgs) (fields, error) {
	value, err := m.store.Get(ctx, datastore.NewKey(args.Key))
	return fields{"value": string(value)}, err
}

func askInfo(ctx context.Context, m *market, args peerArgs) (fields, error) {
	found, err := m.info(ctx, args.Peer)
	return fields{"listings": found}, err
}

type orderArgs struct {
	peerArgs
	Kind  string  `json:"kind"`
	Order string  `json:"order"`
	Agent string  `json:"agent"`
	Price float64 `json:"price"`
}

func placeOrder(ctx context.Context, m *market, args orderArgs) (fields, error) {
	if args.Order == "" {
		args.Order = uuid.NewString()
	}
	message := orderMessage{OrderID: args.Order, AgentID: args.Agent, BuyerID: m.self().String(), Price: args.Price}
	reply, err := m.sendOrder(ctx, args.Peer, args.Kind, message)
	if err == nil && reply.Error != "" {
		err = errors.New(reply.Error)
	}
	return fields{"order": reply.Order}, err
}

func listOrders(_ context.Context, m *market, _ noArgs) (fields, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	found := []order{}
	for _, each := range m.orders {
		found = append(found, each)
	}
	return fields{"orders": found}, nil
}

type executeArgs struct {
	agentArgs
	Input        string `json:"input"`
	Limit        int64  `json:"limit"`
	RawSignature bool   `json:"raw_signature"`
}

func execute(ctx context.Context, m *market, args executeArgs) (fields, error) {
	made, err := m.buy(ctx, args.ID, args.Input, args.Limit, args.RawSignature)
	return fields{"output": made.output, "tx_hash": made.txHash, "amount": made.amount, "nonce": made.nonce}, err
}

type askArgs struct {
	peerArgs
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// askRaw sends any message of the payment protocol.
func askRaw(ctx context.Context, m *market, args askArgs) (fields, error) {
	kind, reply, err := m.askX402(ctx, args.Peer, args.Kind, []byte(args.Text))
	return fields{"kind": kind, "text": string(reply)}, err
}

func countCalls(_ context.Context, m *market, args agentArgs) (fields, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if found := m.agents[args.ID]; found != nil {
		return fields{"calls": found.calls}, nil
	}
	return nil, errors.New("no such agent")
}

func tellBalance(ctx context.Context, m *market, _ noArgs) (fields, error) {
	if m.money == nil {
		return nil, errors.New("this node has no wallet")
	}
	units, err := m.money.balance(ctx)
	if err != nil {
		return nil, err
	}
	return fields{"units": units.Int64(), "wallet": m.money.address.Hex()}, nil
}

type didArgs struct {
	PublicKeyHex string `json:"public_key_hex"`
	Name         string `json:"name"`
}

// deriveDID is that of a given public key, or of this node's.
func deriveDID(_ context.Context, m *market, args didArgs) (fields, error) {
	if args.PublicKeyHex == "" {
		did, err := m.didOf(args.Name)
		return fields{"did": did}, err
	}
	raw, err := hex.DecodeString(args.PublicKeyHex)
	if err != nil {
		return nil, err
	}
	did, err := didFrom(raw, args.Name)
	return fields{"did": did}, err
}

type signArgs struct {
	Authorization authorization `json:"authorization"`
	Chain         int64         `json:"chain"`
	Asset         string        `json:"asset"`
}

// signAuthorization signs for any chain and token, to be compared.
func signAuthorization(_ context.Context, m *market, args signArgs) (fields, error) {
	if m.money == nil {
		return nil, errors.New("this node has no wallet")
	}
	elsewhere := *m.money
	elsewhere.chain, elsewhere.asset = big.NewInt(args.Chain), common.HexToAddress(args.Asset)
	digest, err := args.Authorization.digest(elsewhere.chain, elsewhere.asset)
	if err != nil {
		return nil, err
	}
	signature, err := elsewhere.sign(args.Authorization, false)
	return fields{"digest": hexutil.Encode(digest), "signature": signature}, err
}
