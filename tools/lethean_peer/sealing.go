package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	containerVersion = 2
	prefixBytes      = 9
	maxHeaderBytes   = 16 << 20
	messageHeader    = `{"algorithm":"chacha20poly1305","version":"1.0"}`
)

var errSealed = errors.New("decryption failed")

// obscure applies the keystream that lies under the cipher; it is its own inverse.
func obscure(nonce, data []byte) []byte {
	out := make([]byte, len(data))
	block := make([]byte, len(nonce)+8)
	copy(block, nonce)
	for offset, number := 0, uint64(0); offset < len(data); number++ {
		binary.BigEndian.PutUint64(block[len(nonce):], number)
		stream := sha256.Sum256(block)
		for i := 0; i < len(stream) && offset < len(data); i++ {
			out[offset] = data[offset] ^ stream[i]
			offset++
		}
	}
	return out
}

// seal is XChaCha20-Poly1305 over the obscured text, the nonce before it.
func seal(password string, nonce, plain []byte) ([]byte, error) {
	key := sha256.Sum256([]byte(password))
	cipher, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, err
	}
	if nonce == nil {
		nonce = make([]byte, chacha20poly1305.NonceSizeX)
		if _, err := rand.Read(nonce); err != nil {
			return nil, err
		}
	}
	return cipher.Seal(bytes.Clone(nonce), nonce, obscure(nonce, plain), nil), nil
}

func unseal(password string, sealed []byte) ([]byte, error) {
	key := sha256.Sum256([]byte(password))
	cipher, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, err
	}
	if len(sealed) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil, errSealed
	}
	nonce := sealed[:chacha20poly1305.NonceSizeX]
	obscured, err := cipher.Open(nil, nonce, sealed[len(nonce):], nil)
	if err != nil {
		return nil, errSealed
	}
	return obscure(nonce, obscured), nil
}

// wrap puts a header and a payload into a container.
func wrap(magic, header string, payload []byte) []byte {
	out := append([]byte(magic), containerVersion)
	out = binary.BigEndian.AppendUint32(out, uint32(len(header)))
	return append(append(out, header...), payload...)
}

func unwrap(magic string, data []byte) (payload []byte, err error) {
	if len(data) < prefixBytes || string(data[:4]) != magic || data[4] != containerVersion {
		return nil, fmt.Errorf("not a %s container", magic)
	}
	length := binary.BigEndian.Uint32(data[5:])
	if length > maxHeaderBytes || uint64(length) > uint64(len(data)-prefixBytes) {
		return nil, errors.New("container header too long")
	}
	end := prefixBytes + int(length)
	var header map[string]any
	if err := json.Unmarshal(data[prefixBytes:end], &header); err != nil {
		return nil, fmt.Errorf("container header: %w", err)
	}
	return data[end:], nil
}

// inner is what a message container holds.
type inner struct {
	Body      string `json:"body"`
	Timestamp int64  `json:"timestamp,omitempty"`
}

// sealMessage makes the container of one envelope.
func sealMessage(password, body string, nonce []byte, timestamp int64) ([]byte, error) {
	text, err := json.Marshal(inner{body, timestamp})
	if err != nil {
		return nil, err
	}
	sealed, err := seal(password, nonce, text)
	if err != nil {
		return nil, err
	}
	return wrap("SMSG", messageHeader, sealed), nil
}

func openMessage(password string, data []byte) (string, error) {
	payload, err := unwrap("SMSG", data)
	if err != nil {
		return "", err
	}
	text, err := unseal(password, payload)
	if err != nil {
		return "", err
	}
	var message inner
	if err := json.Unmarshal(text, &message); err != nil {
		return "", err
	}
	return message.Body, nil
}

type sealAsked struct {
	Secret    []byte `json:"secret"`
	Nonce     []byte `json:"nonce"`
	Body      string `json:"body"`
	Timestamp int64  `json:"timestamp"`
	Container []byte `json:"container"`
}

// sealOnce reads one object and writes the container in base64.
func sealOnce(in io.Reader, out io.Writer) error {
	var asked sealAsked
	if err := json.NewDecoder(in).Decode(&asked); err != nil {
		return err
	}
	if asked.Timestamp == 0 {
		asked.Timestamp = time.Now().Unix()
	}
	password := base64.StdEncoding.EncodeToString(asked.Secret)
	container, err := sealMessage(password, asked.Body, asked.Nonce, asked.Timestamp)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(map[string]any{"container": container})
}

// openOnce reads one object and writes the body of the container in it.
func openOnce(in io.Reader, out io.Writer) error {
	var asked sealAsked
	if err := json.NewDecoder(in).Decode(&asked); err != nil {
		return err
	}
	body, err := openMessage(base64.StdEncoding.EncodeToString(asked.Secret), asked.Container)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(map[string]any{"body": body})
}
