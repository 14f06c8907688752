package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/multiformats/go-multibase"
)

// nodeName is the name under which a node has an id of its own.
const nodeName = "node"

// ed25519Identity is the identity of a seed of 32 bytes.
func ed25519Identity(seed []byte) (crypto.PrivKey, error) {
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(seed))
	return key, err
}

func fixedHex(text string, length int) ([]byte, error) {
	found, err := hex.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if len(found) != length {
		return nil, fmt.Errorf("%d bytes, not %d", len(found), length)
	}
	return found, nil
}

// didOf derives the id of an agent of this node (section 1.3).
func (m *market) didOf(name string) (string, error) {
	raw, err := m.pubsub.host.Peerstore().PubKey(m.self()).Raw()
	if err != nil {
		return "", fmt.Errorf("read the public key: %w", err)
	}
	return didFrom(raw, name)
}

func didFrom(rawPublicKey []byte, name string) (string, error) {
	seed := sha256.Sum256(append([]byte("betar/"+name+"/"), rawPublicKey...))
	derived := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	text, err := multibase.Encode(multibase.Base58BTC, append([]byte{0xed, 0x01}, derived...))
	if err != nil {
		return "", fmt.Errorf("write a DID: %w", err)
	}
	return "did:key:" + text, nil
}
