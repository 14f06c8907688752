package main

import (
	"crypto/rand"
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
)

const rsaBits = 2048

var keyTypes = []string{"ed25519", "secp256k1", "ecdsa", "rsa"}

// newIdentity makes a fresh private key of the named type.
func newIdentity(keyType string) (crypto.PrivKey, error) {
	var key crypto.PrivKey
	var err error
	switch keyType {
	case "ed25519":
		key, _, err = crypto.GenerateEd25519Key(rand.Reader)
	case "secp256k1":
		key, _, err = crypto.GenerateSecp256k1Key(rand.Reader)
	case "ecdsa":
		key, _, err = crypto.GenerateECDSAKeyPair(rand.Reader)
	case "rsa":
		key, _, err = crypto.GenerateRSAKeyPair(rsaBits, rand.Reader)
	default:
		err = fmt.Errorf("unknown key type %q", keyType)
	}
	if err != nil {
		return nil, fmt.Errorf("make %s identity: %w", keyType, err)
	}
	return key, nil
}
