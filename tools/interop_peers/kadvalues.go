package main

import (
	"bytes"
	"encoding/hex"
	"errors"
)

// openNamespace is the namespace of keys, such as /v/name, under which
// networks other than the public one keep any value at all.
const openNamespace = "v"

// greatestValue accepts every value and prefers the greatest by its bytes.
type greatestValue struct{}

func (greatestValue) Validate(string, []byte) error { return nil }

func (greatestValue) Select(_ string, values [][]byte) (int, error) {
	if len(values) == 0 {
		return 0, errors.New("there are no values to select from")
	}
	best := 0
	for i, value := range values {
		if bytes.Compare(value, values[best]) > 0 {
			best = i
		}
	}
	return best, nil
}

// hexBytes are bytes that JSON carries in hexadecimal.
type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, b), nil
}

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}
