package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"
)

const protocolVersion = "1.0"

// envelope is what every message is wrapped in.
type envelope struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	From    string          `json:"from"`
	To      string          `json:"to"`
	Time    time.Time       `json:"ts"`
	Payload json.RawMessage `json:"payload"`
	ReplyTo string          `json:"replyTo,omitempty"`
}

type handshake struct {
	Identity  publicIdentity `json:"identity"`
	Challenge []byte         `json:"challenge,omitempty"`
	Version   string         `json:"version"`
}

type handshakeAck struct {
	Identity          publicIdentity `json:"identity"`
	ChallengeResponse []byte         `json:"challengeResponse,omitempty"`
	Accepted          bool           `json:"accepted"`
	Reason            string         `json:"reason,omitempty"`
}

type ping struct {
	SentAt int64 `json:"sentAt"`
}

type pong struct {
	SentAt     int64 `json:"sentAt"`
	ReceivedAt int64 `json:"receivedAt"`
}

type disconnect struct {
	Reason string `json:"reason"`
	Code   int    `json:"code"`
}

type minerStats struct {
	Name       string  `json:"name"`
	Type       string  `json:"type"`
	Hashrate   float64 `json:"hashrate"`
	Shares     int64   `json:"shares"`
	Rejected   int64   `json:"rejected"`
	Uptime     int64   `json:"uptime"`
	Pool       string  `json:"pool"`
	Algorithm  string  `json:"algorithm"`
	CPUThreads int64   `json:"cpuThreads,omitempty"`
}

type stats struct {
	NodeID   string       `json:"nodeId"`
	NodeName string       `json:"nodeName"`
	Miners   []minerStats `json:"miners"`
	Uptime   int64        `json:"uptime"`
}

type startMiner struct {
	MinerType string          `json:"minerType"`
	ProfileID string          `json:"profileId,omitempty"`
	Config    json.RawMessage `json:"config,omitempty"`
}

type stopMiner struct {
	MinerName string `json:"minerName"`
}

type minerAck struct {
	Success   bool   `json:"success"`
	MinerName string `json:"minerName,omitempty"`
	Error     string `json:"error,omitempty"`
}

type deploy struct {
	Type     string `json:"type"`
	Data     []byte `json:"data"`
	Checksum string `json:"checksum"`
	Name     string `json:"name"`
}

type deployAck struct {
	Success bool   `json:"success"`
	Name    string `json:"name,omitempty"`
	Error   string `json:"error,omitempty"`
}

type getLogs struct {
	MinerName string `json:"minerName"`
	Lines     int    `json:"lines"`
	Since     int64  `json:"since,omitempty"`
}

type logs struct {
	MinerName string   `json:"minerName"`
	Lines     []string `json:"lines"`
	HasMore   bool     `json:"hasMore"`
}

type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Details string `json:"details,omitempty"`
}

const operationFailed = 1004

// compact is JSON without the escapes that Go adds for HTML.
func compact(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func newEnvelope(kind, from, to string, payload any) (*envelope, error) {
	raw, err := compact(payload)
	if err != nil {
		return nil, err
	}
	return &envelope{ID: randomID(), Type: kind, From: from, To: to, Time: time.Now(), Payload: raw}, nil
}

// reply answers a message, the addresses swapped as they came.
func (asked *envelope) reply(kind string, payload any) (*envelope, error) {
	answer, err := newEnvelope(kind, asked.To, asked.From, payload)
	if err == nil {
		answer.ReplyTo = asked.ID
	}
	return answer, err
}

func randomID() string {
	var raw [16]byte
	if _, err := rand.Read(raw[:]); err != nil {
		panic(err)
	}
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}
