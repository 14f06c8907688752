package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	handshakeTime = 10 * time.Second
	writeTime     = 10 * time.Second
	maxMessage    = 1 << 20
)

// link is one connection whose handshake is done.
type link struct {
	socket   *websocket.Conn
	peer     publicIdentity
	password string
	inbound  bool
	writing  sync.Mutex
}

// send seals and writes one message.
func (l *link) send(message *envelope) error {
	body, err := compact(message)
	if err != nil {
		return err
	}
	container, err := sealMessage(l.password, string(body), nil, time.Now().Unix())
	if err != nil {
		return err
	}
	return l.write(websocket.BinaryMessage, container)
}

func (l *link) write(kind int, data []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.socket.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	return l.socket.WriteMessage(kind, data)
}

// readClear reads the one message of the other side's handshake.
func readClear(socket *websocket.Conn, kind string) (*envelope, error) {
	if err := socket.SetReadDeadline(time.Now().Add(handshakeTime)); err != nil {
		return nil, err
	}
	_, text, err := socket.ReadMessage()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	var got envelope
	if err := json.Unmarshal(text, &got); err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	if got.Type != kind {
		return nil, fmt.Errorf("expected %s, got %s", kind, got.Type)
	}
	return &got, nil
}

func writeClear(socket *websocket.Conn, message *envelope) error {
	text, err := compact(message)
	if err != nil {
		return err
	}
	if err := socket.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	return socket.WriteMessage(websocket.TextMessage, text)
}

func proof(secret, challenge []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write(challenge)
	return mac.Sum(nil)
}

// dial connects to host:port and does the dialler's half of the handshake.
func dial(ctx context.Context, own *identity, scheme, address string) (*link, error) {
	dialer := websocket.Dialer{HandshakeTimeout: handshakeTime}
	socket, response, err := dialer.DialContext(ctx, scheme+"://"+address+"/ws", nil)
	if err != nil {
		if response != nil {
			return nil, fmt.Errorf("%w: %s", err, response.Status)
		}
		return nil, err
	}
	made, err := propose(own, socket)
	if err != nil {
		socket.Close()
		return nil, err
	}
	socket.SetReadLimit(maxMessage)
	return made, nil
}

func propose(own *identity, socket *websocket.Conn) (*link, error) {
	challenge := make([]byte, 32)
	if _, err := rand.Read(challenge); err != nil {
		return nil, err
	}
	first, err := newEnvelope("handshake", own.ID, "", handshake{own.publicIdentity, challenge, protocolVersion})
	if err != nil {
		return nil, err
	}
	if err := writeClear(socket, first); err != nil {
		return nil, err
	}
	answer, err := readClear(socket, "handshake_ack")
	if err != nil {
		return nil, err
	}
	var ack handshakeAck
	if err := json.Unmarshal(answer.Payload, &ack); err != nil {
		return nil, err
	}
	if !ack.Accepted {
		return nil, fmt.Errorf("handshake rejected: %s", ack.Reason)
	}
	secret, err := own.sharedSecret(ack.Identity.PublicKey)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(ack.ChallengeResponse, proof(secret, challenge)) {
		return nil, errors.New("challenge response verification failed")
	}
	return &link{socket: socket, peer: ack.Identity, password: base64.StdEncoding.EncodeToString(secret)}, nil
}

// accept upgrades a request and does the listener's half of the handshake.
func accept(own *identity, allowed func(publicIdentity) bool, w http.ResponseWriter, r *http.Request) (*link, error) {
	socket, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return nil, err
	}
	socket.SetReadLimit(maxMessage)
	made, err := judge(own, allowed, socket)
	if err != nil {
		socket.Close()
		return nil, err
	}
	return made, nil
}

func judge(own *identity, allowed func(publicIdentity) bool, socket *websocket.Conn) (*link, error) {
	first, err := readClear(socket, "handshake")
	if err != nil {
		return nil, err
	}
	var got handshake
	if err := json.Unmarshal(first.Payload, &got); err != nil {
		return nil, err
	}
	answer := handshakeAck{Identity: own.publicIdentity}
	var secret []byte
	if got.Version != protocolVersion {
		answer.Reason = fmt.Sprintf("incompatible protocol version %s, supported: [%s]", got.Version, protocolVersion)
	} else if secret, err = own.sharedSecret(got.Identity.PublicKey); err != nil {
		return nil, err
	} else if !allowed(got.Identity) {
		answer.Reason = "peer not authorized"
	} else {
		answer.Accepted = true
		if len(got.Challenge) > 0 {
			answer.ChallengeResponse = proof(secret, got.Challenge)
		}
	}
	reply, err := newEnvelope("handshake_ack", own.ID, got.Identity.ID, answer)
	if err != nil {
		return nil, err
	}
	if err := writeClear(socket, reply); err != nil {
		return nil, err
	}
	if !answer.Accepted {
		return nil, fmt.Errorf("refused %s: %s", got.Identity.ID, answer.Reason)
	}
	password := base64.StdEncoding.EncodeToString(secret)
	return &link{socket: socket, peer: got.Identity, password: password, inbound: true}, nil
}
