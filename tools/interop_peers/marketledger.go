package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/trie"
)

// rpcHead is what a block says its hash is; go-ethereum computes its own.
type rpcHead struct {
	Hash common.Hash `json:"hash"`
}

// checkBlock reads a block and its receipts and holds every hash against what
// go-ethereum makes of the contents.
func (w *money) checkBlock(ctx context.Context, number int64) (*types.Block, error) {
	block, err := w.ledger.BlockByNumber(ctx, big.NewInt(number))
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", number, err)
	}
	var claimed rpcHead
	if err := w.ledger.Client().CallContext(ctx, &claimed, "eth_getBlockByNumber", fmt.Sprintf("0x%x", number), false); err != nil {
		return nil, err
	}
	if claimed.Hash != block.Hash() {
		return nil, fmt.Errorf("block %d: hash %s, not %s", number, block.Hash(), claimed.Hash)
	}
	if found := types.DeriveSha(block.Transactions(), trie.NewStackTrie(nil)); found != block.TxHash() {
		return nil, fmt.Errorf("block %d: root of transactions %s, not %s", number, found, block.TxHash())
	}
	receipts := types.Receipts{}
	for _, each := range block.Transactions() {
		receipt, err := w.ledger.TransactionReceipt(ctx, each.Hash())
		if err != nil {
			return nil, fmt.Errorf("receipt of %s: %w", each.Hash(), err)
		}
		receipts = append(receipts, receipt)
	}
	if found := types.DeriveSha(receipts, trie.NewStackTrie(nil)); found != block.ReceiptHash() {
		return nil, fmt.Errorf("block %d: root of receipts %s, not %s", number, found, block.ReceiptHash())
	}
	if found := types.MergeBloom(receipts); found != block.Bloom() {
		return nil, fmt.Errorf("block %d: another bloom", number)
	}
	return block, nil
}

// checkChain checks every block and that each names the one before.
func (w *money) checkChain(ctx context.Context) (blocks, transactions int, err error) {
	head, err := w.ledger.BlockNumber(ctx)
	if err != nil {
		return 0, 0, err
	}
	var parent common.Hash
	for number := int64(0); number <= int64(head); number++ {
		block, err := w.checkBlock(ctx, number)
		if err != nil {
			return blocks, transactions, err
		}
		if number > 0 && block.ParentHash() != parent {
			return blocks, transactions, fmt.Errorf("block %d names another parent", number)
		}
		parent = block.Hash()
		blocks++
		transactions += len(block.Transactions())
	}
	return blocks, transactions, nil
}

// transfer sends units of the token in a transaction of its own, which costs
// ether, as any wallet does.
func (w *money) transfer(ctx context.Context, to common.Address, units int64) (common.Hash, error) {
	data := append(ethcrypto.Keccak256([]byte("transfer(address,uint256)"))[:4], common.LeftPadBytes(to.Bytes(), 32)...)
	data = append(data, common.BigToHash(big.NewInt(units)).Bytes()...)
	nonce, err := w.ledger.PendingNonceAt(ctx, w.address)
	if err != nil {
		return common.Hash{}, err
	}
	tip, err := w.ledger.SuggestGasTipCap(ctx)
	if err != nil {
		return common.Hash{}, err
	}
	head, err := w.ledger.HeaderByNumber(ctx, nil)
	if err != nil {
		return common.Hash{}, err
	}
	gas, err := w.ledger.EstimateGas(ctx, ethereum.CallMsg{From: w.address, To: &w.asset, Data: data})
	if err != nil {
		return common.Hash{}, err
	}
	signed, err := types.SignNewTx(w.key, types.LatestSignerForChainID(w.chain), &types.DynamicFeeTx{
		ChainID: w.chain, Nonce: nonce, GasTipCap: tip, GasFeeCap: new(big.Int).Add(tip, new(big.Int).Mul(head.BaseFee, big.NewInt(2))),
		Gas: gas, To: &w.asset, Data: data,
	})
	if err != nil {
		return common.Hash{}, err
	}
	return signed.Hash(), w.ledger.SendTransaction(ctx, signed)
}

func checkLedger(ctx context.Context, m *market, _ noArgs) (fields, error) {
	if m.money == nil {
		return nil, errors.New("this node has no wallet")
	}
	blocks, transactions, err := m.money.checkChain(ctx)
	return fields{"blocks": blocks, "transactions": transactions}, err
}

type transferArgs struct {
	To    string `json:"to"`
	Units int64  `json:"units"`
}

func sendUnits(ctx context.Context, m *market, args transferArgs) (fields, error) {
	if m.money == nil {
		return nil, errors.New("this node has no wallet")
	}
	sent, err := m.money.transfer(ctx, common.HexToAddress(args.To), args.Units)
	return fields{"tx_hash": sent.Hex()}, err
}

// rewritten are the kinds of JSON that `rewrite` reads and writes again.
var rewritten = map[string]func() any{
	"x402.request":          func() any { return &x402Request{} },
	"x402.payment_required": func() any { return &x402PaymentRequired{} },
	"x402.paid_request":     func() any { return &x402PaidRequest{} },
	"x402.response":         func() any { return &x402Response{} },
	"x402.error":            func() any { return &x402Error{} },
	"listing":               func() any { return &listing{} },
	"listing message":       func() any { return &listingMessage{} },
	"order":                 func() any { return &order{} },
	"order message":         func() any { return &orderMessage{} },
	"metadata":              func() any { return &agentMetadata{} },
	"settle":                func() any { return &settleRequest{} },
	"requirements":          func() any { return &requirements{} },
}

type rewriteArgs struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// rewrite shows how this program writes what it read, and its frame.
func rewrite(_ context.Context, _ *market, args rewriteArgs) (fields, error) {
	made := rewritten[args.Kind]
	if made == nil {
		return nil, errors.New("no such kind of message")
	}
	value := made()
	if err := unmarshalWhole([]byte(args.Text), value); err != nil {
		return nil, err
	}
	return fields{"text": string(marshalGo(value))}, nil
}
