package main

// The messages of /x402/libp2p/1.0.0 in the order of their fields (section 3.2).

type x402Request struct {
	Version       string    `json:"version"`
	CorrelationID string    `json:"correlation_id"`
	Resource      string    `json:"resource"`
	Method        string    `json:"method"`
	Payment       *envelope `json:"payment"`
	Body          []byte    `json:"body"`
	CallerDID     string    `json:"caller_did,omitempty"`
}

type x402PaymentRequired struct {
	Version            string       `json:"version"`
	CorrelationID      string       `json:"correlation_id"`
	ChallengeNonce     string       `json:"challenge_nonce"`
	ChallengeExpiresAt int64        `json:"challenge_expires_at"`
	Requirements       requirements `json:"payment_requirements"`
	Message            string       `json:"message"`
	SellerDID          string       `json:"seller_did,omitempty"`
}

type x402PaidRequest struct {
	Version       string   `json:"version"`
	CorrelationID string   `json:"correlation_id"`
	Payment       envelope `json:"payment"`
	Body          []byte   `json:"body"`
	CallerDID     string   `json:"caller_did,omitempty"`
}

type x402Response struct {
	Version       string `json:"version"`
	CorrelationID string `json:"correlation_id"`
	PaymentID     string `json:"payment_id"`
	TxHash        string `json:"tx_hash"`
	Body          []byte `json:"body"`
	SellerDID     string `json:"seller_did,omitempty"`
	SellerTokenID string `json:"seller_token_id,omitempty"`
}

type x402Error struct {
	Version       string `json:"version"`
	CorrelationID string `json:"correlation_id"`
	Code          int    `json:"error_code"`
	Name          string `json:"error_name"`
	Message       string `json:"message"`
	Retryable     bool   `json:"retryable"`
}

type envelope struct {
	Version     int             `json:"x402_version"`
	Scheme      string          `json:"scheme"`
	Network     string          `json:"network"`
	ServerNonce string          `json:"server_nonce"`
	Payer       string          `json:"payer"`
	Payload     *signedTransfer `json:"payload,omitempty"`
}

type signedTransfer struct {
	Signature     string        `json:"signature"`
	Authorization authorization `json:"authorization"`
}

type requirements struct {
	Scheme            string            `json:"scheme"`
	Network           string            `json:"network"`
	Amount            string            `json:"amount"`
	Asset             string            `json:"asset"`
	PayTo             string            `json:"payTo"`
	MaxTimeoutSeconds int64             `json:"maxTimeoutSeconds"`
	Extra             map[string]string `json:"extra,omitempty"`
}

const (
	x402Version = "1.0"
	preemptive  = "preemptive"

	codeInvalidMessage  = 1000
	codePaymentRequired = 2000
	codePaymentInvalid  = 2001
	codeNonceMismatch   = 2002
	codeNonceExpired    = 2003
	codeSettlement      = 2007
	codeExecution       = 3000
)

var x402ErrorNames = map[int]string{
	1000: "INVALID_MESSAGE", 1001: "UNKNOWN_RESOURCE", 2000: "PAYMENT_REQUIRED", 2001: "PAYMENT_INVALID",
	2002: "PAYMENT_NONCE_MISMATCH", 2003: "PAYMENT_NONCE_EXPIRED", 2004: "PAYMENT_NONCE_USED",
	2005: "PAYMENT_AMOUNT_WRONG", 2007: "SETTLEMENT_FAILED", 3000: "EXECUTION_FAILED",
}

var x402Retryable = map[int]bool{2000: true, 2003: true, 2007: true}

// x402Failure is the message for a code.
func x402Failure(correlation string, code int, message string) (string, []byte) {
	name := x402ErrorNames[code]
	if name == "" {
		name = "UNKNOWN_ERROR"
	}
	return "x402.error", marshalGo(x402Error{x402Version, correlation, code, name, message, x402Retryable[code]})
}
