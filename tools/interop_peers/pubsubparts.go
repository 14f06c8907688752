package main

import (
	"errors"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
)

// partialHost is nothing: this version of the library has no messages in parts.
type partialHost struct{}

var partCommands = commands[*pubsubHost]{}

func (s *pubsubSettings) extensionOptions(*pubsubHost) ([]pubsub.Option, error) {
	if s.Parts || s.TestExtension {
		return nil, errors.New("arguments \"parts\" and \"test_extension\": built with a library that knows no extensions")
	}
	return nil, nil
}
