package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// tlsFiles are the PEM files behind wss, and what was read from them.
type tlsFiles struct {
	certificate string
	key         string
	trust       string
	listening   *tls.Config
	dialling    *tls.Config
}

func (f *tlsFiles) load() error {
	if (f.certificate == "") != (f.key == "") {
		return errors.New("--tls-certificate and --tls-key: each needs the other")
	}
	if f.certificate != "" {
		pair, err := tls.LoadX509KeyPair(f.certificate, f.key)
		if err != nil {
			return fmt.Errorf("--tls-certificate, --tls-key: %w", err)
		}
		f.listening = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	if f.trust != "" {
		text, err := os.ReadFile(f.trust)
		if err != nil {
			return fmt.Errorf("--tls-trust: %w", err)
		}
		authorities := x509.NewCertPool()
		if !authorities.AppendCertsFromPEM(text) {
			return fmt.Errorf("--tls-trust: %s holds no certificates", f.trust)
		}
		f.dialling = &tls.Config{RootCAs: authorities}
	}
	return nil
}
