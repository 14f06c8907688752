package main

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"
)

// publicIdentity is the object that both handshake messages carry.
type publicIdentity struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	PublicKey string    `json:"publicKey"`
	CreatedAt time.Time `json:"createdAt"`
	Role      string    `json:"role"`
}

// identity is a key pair and what it says about itself.
type identity struct {
	publicIdentity
	private *ecdh.PrivateKey
}

func newIdentity(name, role, keyHex string) (*identity, error) {
	var private *ecdh.PrivateKey
	var err error
	if keyHex == "" {
		private, err = ecdh.X25519().GenerateKey(rand.Reader)
	} else {
		var raw []byte
		if raw, err = hex.DecodeString(keyHex); err == nil {
			private, err = ecdh.X25519().NewPrivateKey(raw)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	public := private.PublicKey().Bytes()
	return &identity{
		publicIdentity: publicIdentity{
			ID:        nodeID(public),
			Name:      name,
			PublicKey: base64.StdEncoding.EncodeToString(public),
			CreatedAt: time.Now(),
			Role:      role,
		},
		private: private,
	}, nil
}

// nodeID is the first half of the hash of a public key, in hexadecimal.
func nodeID(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:16])
}

// sharedSecret is the hash of the X25519 result with the other side's key.
func (own *identity) sharedSecret(publicText string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(publicText)
	if err != nil {
		return nil, err
	}
	public, err := ecdh.X25519().NewPublicKey(raw)
	if err != nil {
		return nil, err
	}
	point, err := own.private.ECDH(public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(point)
	return sum[:], nil
}
