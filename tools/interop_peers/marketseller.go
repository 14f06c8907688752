package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	challengeLife  = 5 * time.Minute
	maxChallenges  = 4096
	requiredWithin = 60
)

// agent is one that this node sells the work of: it answers its prefix and
// the input, or fails.
type agent struct {
	id       string
	name     string
	price    float64
	metadata string
	prefix   string
	fails    bool
	listed   bool
	calls    int
}

type challenge struct {
	nonce   string
	expires time.Time
}

func (m *market) agentOf(resource string) *agent {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.agents[resource]
}

func (m *market) run(resource, input string) (string, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	found := m.agents[resource]
	if found == nil {
		return "", fmt.Errorf("agent not found: %s", resource)
	}
	found.calls++
	if found.fails {
		return "", errors.New("the agent failed")
	}
	m.out.send(fields{"event": "executed", "id": resource, "input": input})
	return found.prefix + input, nil
}

// answerX402 is the seller's side of one stream (section 3.4).
func (m *market) answerX402(ctx context.Context, kind string, data []byte, from peer.ID) (string, []byte) {
	switch kind {
	case "x402.request":
		return m.answerRequest(ctx, data)
	case "x402.paid_request":
		return m.answerPaid(ctx, data)
	default:
		return x402Failure("", codeInvalidMessage, "unknown message type: "+kind)
	}
}

func (m *market) answerRequest(ctx context.Context, data []byte) (string, []byte) {
	var request x402Request
	if err := unmarshalWhole(data, &request); err != nil {
		return x402Failure("", codeInvalidMessage, "failed to unmarshal x402.request: "+err.Error())
	}
	if request.Payment != nil {
		return x402Failure(request.CorrelationID, codePaymentRequired, "pre-emptive payments are not taken")
	}
	amount := m.amountOf(request.Resource)
	if amount == 0 {
		return m.respond(request.CorrelationID, request.Resource, request.Body, "")
	}
	if m.money == nil || m.money.facilitator == "" {
		return x402Failure(request.CorrelationID, codePaymentRequired, "payment service not configured")
	}
	var nonce [32]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return x402Failure(request.CorrelationID, codePaymentRequired, err.Error())
	}
	made := challenge{hex.EncodeToString(nonce[:]), time.Now().Add(challengeLife)}
	m.keepChallenge(request.CorrelationID, made)
	return "x402.payment_required", marshalGo(x402PaymentRequired{
		x402Version, request.CorrelationID, made.nonce, made.expires.Unix(), m.requirements(amount), "Payment required", request.Resource,
	})
}

// keepChallenge remembers one for a correlation id; the old ones make room.
func (m *market) keepChallenge(correlation string, made challenge) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for key, each := range m.challenges {
		if time.Now().After(each.expires) || len(m.challenges) >= maxChallenges {
			delete(m.challenges, key)
		}
	}
	m.challenges[correlation] = made
}

func (m *market) takeChallenge(correlation string) (challenge, bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	found, known := m.challenges[correlation]
	delete(m.challenges, correlation)
	return found, known && time.Now().Before(found.expires)
}

func (m *market) amountOf(resource string) int64 {
	found := m.agentOf(resource)
	if found == nil {
		return 0
	}
	return atomicUnits(found.price)
}

func (m *market) requirements(amount int64) requirements {
	return requirements{
		"exact", m.money.network(), strconv.FormatInt(amount, 10), m.money.asset.Hex(), m.money.address.Hex(),
		requiredWithin, map[string]string{"name": "USDC", "version": "2"},
	}
}

func (m *market) answerPaid(ctx context.Context, data []byte) (string, []byte) {
	var request x402PaidRequest
	if err := unmarshalWhole(data, &request); err != nil {
		return x402Failure("", codeInvalidMessage, "failed to unmarshal x402.paid_request: "+err.Error())
	}
	correlation := request.CorrelationID
	if m.money == nil || m.money.facilitator == "" {
		return x402Failure(correlation, codePaymentInvalid, "payment service not configured")
	}
	made, good := m.takeChallenge(correlation)
	if !good {
		return x402Failure(correlation, codeNonceExpired, "challenge expired or unknown: "+correlation)
	}
	if request.Payment.ServerNonce != made.nonce {
		return x402Failure(correlation, codeNonceMismatch, "server nonce is not the challenge")
	}
	if given := request.Payment.Payload; given != nil && strings.TrimPrefix(given.Authorization.Nonce, "0x") != made.nonce {
		return x402Failure(correlation, codeNonceMismatch, "authorization nonce is not the challenge")
	}
	var task map[string]string
	if err := unmarshalWhole(request.Body, &task); err != nil || task["resource"] == "" {
		return x402Failure(correlation, codeInvalidMessage, "the body names no resource")
	}
	amount := m.amountOf(task["resource"])
	if err := m.checkPayment(request.Payment, amount); err != nil {
		return x402Failure(correlation, codeSettlement, "payment verification/settlement failed: payment validation failed: "+err.Error())
	}
	transaction, err := m.money.settle(ctx, *request.Payment.Payload, m.requirements(amount))
	if err != nil {
		return x402Failure(correlation, codeSettlement, "payment verification/settlement failed: "+err.Error())
	}
	return m.respond(correlation, task["resource"], request.Body, transaction)
}

// checkPayment is what is looked at before settling (section 3.6). A nonce is
// taken once, after its signature was found good.
func (m *market) checkPayment(paid envelope, amount int64) error {
	w := m.money
	if paid.Network != w.network() {
		return errors.New("wrong network")
	}
	if paid.Payload == nil || paid.Payload.Signature == "" {
		return errors.New("no signature")
	}
	a := paid.Payload.Authorization
	value, err := strconv.ParseInt(a.Value, 10, 64)
	if a.To != w.address.Hex() || err != nil || value != amount || amount == 0 {
		return errors.New("wrong payee or amount")
	}
	if paid.Payer != a.From || !common.IsHexAddress(a.From) {
		return errors.New("payer is not who authorizes")
	}
	after, errAfter := strconv.ParseInt(a.ValidAfter, 10, 64)
	before, errBefore := strconv.ParseInt(a.ValidBefore, 10, 64)
	if now := time.Now().Unix(); errAfter != nil || errBefore != nil || now < after || now > before {
		return errors.New("not valid now")
	}
	signer, err := signerOf(a, paid.Payload.Signature, w.chain, w.asset)
	if err != nil || signer != common.HexToAddress(a.From) {
		return errors.New("signature of another")
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	key := signer.Hex() + common.HexToHash(a.Nonce).Hex()
	if m.usedNonces[key] {
		return errors.New("nonce used")
	}
	m.usedNonces[key] = true
	return nil
}

// respond runs the agent and wraps what it says.
func (m *market) respond(correlation, resource string, body []byte, transaction string) (string, []byte) {
	var task map[string]string
	_ = unmarshalWhole(body, &task)
	output, err := m.run(resource, task["input"])
	if err != nil {
		return x402Failure(correlation, codeExecution, err.Error())
	}
	return "x402.response", marshalGo(x402Response{
		Version: x402Version, CorrelationID: correlation, TxHash: transaction,
		Body: marshalGo(map[string]string{"output": output}), SellerDID: resource,
	})
}
