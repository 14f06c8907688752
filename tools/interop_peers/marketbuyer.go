package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/google/uuid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// purchase is how a call of another's agent went.
type purchase struct {
	output string
	txHash string
	amount string
	nonce  string
}

// buy runs an agent of the marketplace, for at most limit (section 3.5).
func (m *market) buy(ctx context.Context, id, input string, limit int64, rawSignature bool) (purchase, error) {
	found, err := m.find(ctx, id)
	if err != nil {
		return purchase{}, err
	}
	seller, err := m.reach(ctx, found)
	if err != nil {
		return purchase{}, err
	}
	caller, err := m.didOf(nodeName)
	if err != nil {
		return purchase{}, err
	}
	resource := strings.TrimPrefix(found.ID, found.SellerID+"/")
	body := marshalGo(map[string]string{"input": input, "resource": resource})
	request := x402Request{x402Version, uuid.NewString(), resource, "execute", nil, body, caller}
	kind, reply, err := m.askX402(ctx, seller, "x402.request", marshalGo(request))
	if err != nil || kind != "x402.payment_required" {
		return outcome(purchase{}, request.CorrelationID, kind, reply, err)
	}
	var required x402PaymentRequired
	if err := unmarshalWhole(reply, &required); err != nil {
		return purchase{}, fmt.Errorf("read the challenge: %w", err)
	}
	return m.pay(ctx, seller, request, required, limit, rawSignature)
}

func (m *market) pay(ctx context.Context, seller peer.ID, request x402Request, required x402PaymentRequired, limit int64, rawSignature bool) (purchase, error) {
	wanted := required.Requirements
	if m.money == nil {
		return purchase{}, errors.New("this node has no wallet")
	}
	if err := m.checkChallenge(request, required, limit); err != nil {
		return purchase{}, err
	}
	a := m.money.authorize(wanted, required.ChallengeNonce)
	signature, err := m.money.sign(a, rawSignature)
	if err != nil {
		return purchase{}, err
	}
	paid := x402PaidRequest{
		x402Version, request.CorrelationID,
		envelope{2, "exact", wanted.Network, required.ChallengeNonce, a.From, &signedTransfer{signature, a}},
		request.Body, request.CallerDID,
	}
	made := purchase{amount: wanted.Amount, nonce: a.Nonce}
	kind, reply, err := m.askX402(ctx, seller, "x402.paid_request", marshalGo(paid))
	made, err = outcome(made, request.CorrelationID, kind, reply, err)
	if err != nil {
		return made, err
	}
	settled, err := m.money.settlement(ctx, a)
	if err != nil || settled != made.txHash {
		return made, fmt.Errorf("the seller names %s, the chain %q: %w", made.txHash, settled, err)
	}
	return made, nil
}

// checkChallenge is what is looked at before anything is signed.
func (m *market) checkChallenge(request x402Request, required x402PaymentRequired, limit int64) error {
	wanted := required.Requirements
	amount, err := strconv.ParseInt(wanted.Amount, 10, 64)
	switch {
	case required.CorrelationID != request.CorrelationID:
		return errors.New("the challenge is for another call")
	case wanted.Scheme != "exact" || wanted.Network != m.money.network():
		return fmt.Errorf("the challenge wants %s on %s", wanted.Scheme, wanted.Network)
	case common.HexToAddress(wanted.Asset) != m.money.asset || !common.IsHexAddress(wanted.PayTo):
		return errors.New("the challenge wants another token")
	case err != nil || amount <= 0 || amount > limit:
		return fmt.Errorf("the challenge wants %q, the limit is %d", wanted.Amount, limit)
	}
	_, err = fixedHex(required.ChallengeNonce, 32)
	return err
}

// outcome reads a seller's last word.
func outcome(made purchase, correlation, kind string, reply []byte, err error) (purchase, error) {
	if err != nil {
		return made, err
	}
	if kind == "x402.error" {
		var failed x402Error
		if err := unmarshalWhole(reply, &failed); err != nil {
			return made, fmt.Errorf("read the error: %w", err)
		}
		return made, fmt.Errorf("%d %s: %s", failed.Code, failed.Name, failed.Message)
	}
	var response x402Response
	if err := unmarshalWhole(reply, &response); err != nil || kind != "x402.response" {
		return made, fmt.Errorf("an answer of type %s: %w", kind, err)
	}
	if response.CorrelationID != correlation {
		return made, errors.New("an answer to another call")
	}
	made.txHash = response.TxHash
	var body map[string]string
	made.output = string(response.Body)
	if unmarshalWhole(response.Body, &body) == nil {
		made.output = body["output"]
	}
	return made, nil
}

// reach connects to a seller at the addresses of its listing.
func (m *market) reach(ctx context.Context, found listing) (peer.ID, error) {
	seller, err := peer.Decode(found.SellerID)
	if err != nil {
		return "", fmt.Errorf("read the seller's id: %w", err)
	}
	where := peer.AddrInfo{ID: seller}
	for _, each := range found.Addrs {
		if address, err := multiaddr.NewMultiaddr(each); err == nil {
			where.Addrs = append(where.Addrs, address)
		}
	}
	return seller, m.pubsub.host.Connect(ctx, where)
}
