package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"
)

const (
	sepoliaChain      = 84532
	sepoliaUSDC       = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
	facilitatorAnswer = 1 << 20
	ledgerPolling     = 100 * time.Millisecond
)

// money is a wallet, the chain as its JSON-RPC shows it, and a facilitator
// whose word is not believed.
type money struct {
	key         *ecdsa.PrivateKey
	address     common.Address
	chain       *big.Int
	asset       common.Address
	facilitator string
	ledger      *ethclient.Client
	http        *http.Client
}

func openMoney(ctx context.Context, o marketOptions) (*money, error) {
	key, err := ethcrypto.HexToECDSA(o.wallet)
	if err != nil {
		return nil, fmt.Errorf("--wallet: %w", err)
	}
	ledger, err := ethclient.DialContext(ctx, o.rpc)
	if err != nil {
		return nil, fmt.Errorf("--rpc: %w", err)
	}
	chain, err := ledger.ChainID(ctx)
	if err != nil {
		return nil, fmt.Errorf("--rpc: ask for the chain's id: %w", err)
	}
	if chain.Int64() != o.chain {
		return nil, fmt.Errorf("--rpc: chain %s, not %d", chain, o.chain)
	}
	return &money{
		key: key, address: ethcrypto.PubkeyToAddress(key.PublicKey), chain: chain,
		asset: common.HexToAddress(o.asset), facilitator: o.facilitator, ledger: ledger, http: &http.Client{},
	}, nil
}

func (w *money) network() string { return "eip155:" + w.chain.String() }

// authorization is what a payer signs, as texts (section 3.2).
type authorization struct {
	From        string `json:"from"`
	To          string `json:"to"`
	Value       string `json:"value"`
	ValidAfter  string `json:"validAfter"`
	ValidBefore string `json:"validBefore"`
	Nonce       string `json:"nonce"`
}

// digest is that of EIP-712, by go-ethereum.
func (a authorization) digest(chain *big.Int, asset common.Address) ([]byte, error) {
	names := []string{"from", "address", "to", "address", "value", "uint256", "validAfter", "uint256", "validBefore", "uint256", "nonce", "bytes32"}
	types := []apitypes.Type{}
	for i := 0; i < len(names); i += 2 {
		types = append(types, apitypes.Type{Name: names[i], Type: names[i+1]})
	}
	typed := apitypes.TypedData{
		Types: apitypes.Types{
			"EIP712Domain": {
				{Name: "name", Type: "string"}, {Name: "version", Type: "string"},
				{Name: "chainId", Type: "uint256"}, {Name: "verifyingContract", Type: "address"},
			},
			"TransferWithAuthorization": types,
		},
		PrimaryType: "TransferWithAuthorization",
		Domain: apitypes.TypedDataDomain{
			Name: "USDC", Version: "2", ChainId: (*math.HexOrDecimal256)(chain), VerifyingContract: asset.Hex(),
		},
		Message: apitypes.TypedDataMessage{
			"from": a.From, "to": a.To, "value": a.Value, "validAfter": a.ValidAfter, "validBefore": a.ValidBefore, "nonce": a.Nonce,
		},
	}
	digest, _, err := apitypes.TypedDataAndHash(typed)
	return digest, err
}

// sign gives r, s and v; v is 27 or 28 unless raw is wanted.
func (w *money) sign(a authorization, raw bool) (string, error) {
	digest, err := a.digest(w.chain, w.asset)
	if err != nil {
		return "", fmt.Errorf("hash an authorization: %w", err)
	}
	signature, err := ethcrypto.Sign(digest, w.key)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	if !raw {
		signature[64] += 27
	}
	return hexutil.Encode(signature), nil
}

// signerOf recovers who signed.
func signerOf(a authorization, signature string, chain *big.Int, asset common.Address) (common.Address, error) {
	given, err := hexutil.Decode(signature)
	if err != nil || len(given) != 65 {
		return common.Address{}, errors.New("invalid signature")
	}
	if given[64] >= 27 {
		given[64] -= 27
	}
	digest, err := a.digest(chain, asset)
	if err != nil {
		return common.Address{}, err
	}
	public, err := ethcrypto.SigToPub(digest, given)
	if err != nil {
		return common.Address{}, err
	}
	return ethcrypto.PubkeyToAddress(*public), nil
}

// settle has the facilitator settle, and then believes the chain alone: it
// gives the transaction that used the authorization.
func (w *money) settle(ctx context.Context, payment signedTransfer, wanted requirements) (string, error) {
	refusal := w.askFacilitator(ctx, payment, wanted)
	for {
		used, err := w.used(ctx, payment.Authorization)
		if err == nil && used {
			return w.settlement(ctx, payment.Authorization)
		}
		if refusal != nil {
			return "", refusal
		}
		select {
		case <-ctx.Done():
			return "", errors.New("the chain does not show the settlement in time")
		case <-time.After(ledgerPolling):
		}
	}
}

// facilitatorReply has what version 1 and version 2 call the reason.
type facilitatorReply struct {
	Success       bool   `json:"success"`
	ErrorReason   string `json:"errorReason"`
	InvalidReason string `json:"invalidReason"`
}

type settleRequest struct {
	Version      int           `json:"x402Version"`
	Payment      settlePayment `json:"paymentPayload"`
	Requirements requirements  `json:"paymentRequirements"`
}

type settlePayment struct {
	Version  int            `json:"x402Version"`
	Accepted requirements   `json:"accepted"`
	Payload  signedTransfer `json:"payload"`
}

func (w *money) askFacilitator(ctx context.Context, payment signedTransfer, wanted requirements) error {
	body := marshalGo(settleRequest{2, settlePayment{2, wanted, payment}, wanted})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.facilitator+"/settle", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := w.http.Do(request)
	if err != nil {
		return fmt.Errorf("facilitator: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, facilitatorAnswer))
	if err != nil {
		return fmt.Errorf("facilitator: %w", err)
	}
	var reply facilitatorReply
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("facilitator: status %d", response.StatusCode)
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
		return fmt.Errorf("facilitator: %w", err)
	}
	if !reply.Success {
		return fmt.Errorf("facilitator: %s", reply.ErrorReason+reply.InvalidReason)
	}
	return nil
}

// settlement gives the transaction whose log says that it used the
// authorization, whatever anybody claims.
func (w *money) settlement(ctx context.Context, a authorization) (string, error) {
	payer := common.BytesToHash(common.HexToAddress(a.From).Bytes())
	event := ethcrypto.Keccak256Hash([]byte("AuthorizationUsed(address,bytes32)"))
	found, err := w.ledger.FilterLogs(ctx, ethereum.FilterQuery{
		FromBlock: common.Big0, Addresses: []common.Address{w.asset},
		Topics: [][]common.Hash{{event}, {payer}, {common.HexToHash(a.Nonce)}},
	})
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("look for the settlement: %d entries: %w", len(found), err)
	}
	receipt, err := w.ledger.TransactionReceipt(ctx, found[0].TxHash)
	if err != nil || receipt.Status != 1 {
		return "", fmt.Errorf("receipt of %s: %w", found[0].TxHash, err)
	}
	return found[0].TxHash.Hex(), nil
}

func (w *money) used(ctx context.Context, a authorization) (bool, error) {
	data := append(ethcrypto.Keccak256([]byte("authorizationState(address,bytes32)"))[:4],
		common.LeftPadBytes(common.HexToAddress(a.From).Bytes(), 32)...)
	found, err := w.call(ctx, append(data, common.HexToHash(a.Nonce).Bytes()...))
	return found != nil && found.Sign() != 0, err
}

func (w *money) balance(ctx context.Context) (*big.Int, error) {
	data := append(ethcrypto.Keccak256([]byte("balanceOf(address)"))[:4], common.LeftPadBytes(w.address.Bytes(), 32)...)
	return w.call(ctx, data)
}

func (w *money) call(ctx context.Context, data []byte) (*big.Int, error) {
	found, err := w.ledger.CallContract(ctx, ethereum.CallMsg{To: &w.asset, Data: data}, nil)
	if err != nil {
		return nil, err
	}
	return new(big.Int).SetBytes(found), nil
}

// authorize makes an authorization for what a seller asks (section 3.5).
func (w *money) authorize(wanted requirements, nonce string) authorization {
	limit := wanted.MaxTimeoutSeconds
	if limit <= 0 {
		limit = 60
	}
	now := time.Now().Unix()
	return authorization{
		w.address.Hex(), wanted.PayTo, wanted.Amount, strconv.FormatInt(now-5, 10), strconv.FormatInt(now+limit, 10), "0x" + nonce,
	}
}
