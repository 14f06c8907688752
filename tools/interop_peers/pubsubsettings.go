package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	pubsubModule       = "github.com/libp2p/go-libp2p-pubsub"
	scoreInspectPeriod = 100 * time.Millisecond
)

// pubsubSettings are the arguments of `pubsub_start`. Params, Score and
// Thresholds are go-libp2p-pubsub's structures with its own names of members;
// a duration in them is a text such as "1s".
type pubsubSettings struct {
	Router             string          `json:"router"`
	Version            string          `json:"version"`
	Signing            string          `json:"signing"`
	OutboundQueue      int             `json:"outbound_queue"`
	ValidationQueue    int             `json:"validation_queue"`
	ValidationThrottle int             `json:"validation_throttle"`
	ValidationWorkers  int             `json:"validation_workers"`
	MaxMessageBytes    int             `json:"max_message_bytes"`
	SeenSeconds        float64         `json:"seen_s"`
	FloodPublish       bool            `json:"flood_publish"`
	PeerExchange       bool            `json:"peer_exchange"`
	Parts              bool            `json:"parts"`
	TestExtension      bool            `json:"test_extension"`
	Params             json.RawMessage `json:"params"`
	Score              json.RawMessage `json:"score"`
	Thresholds         json.RawMessage `json:"thresholds"`
}

func defaultPubsubSettings() pubsubSettings {
	return pubsubSettings{
		Router:             "gossipsub",
		Version:            "1.3",
		Signing:            "strict_sign",
		OutboundQueue:      4096,
		ValidationQueue:    4096,
		ValidationThrottle: 8192,
		MaxMessageBytes:    pubsub.DefaultMaxMessageSize,
		SeenSeconds:        pubsub.TimeCacheDuration.Seconds(),
	}
}

// parsePubsubSettings reads what a command line gives as JSON over the defaults.
func parsePubsubSettings(text string, settings *pubsubSettings) error {
	return decodeStrictly([]byte(text), settings)
}

// gossipVersions are the ids of each version and all that came before it.
var gossipVersions = map[string][]protocol.ID{
	"1.0": {pubsub.GossipSubID_v10, pubsub.FloodSubID},
	"1.1": {pubsub.GossipSubID_v11, pubsub.GossipSubID_v10, pubsub.FloodSubID},
	"1.2": {pubsub.GossipSubID_v12, pubsub.GossipSubID_v11, pubsub.GossipSubID_v10, pubsub.FloodSubID},
	"1.3": pubsub.GossipSubDefaultProtocols,
}

// signaturePolicies list what each name means. Without an author there is no
// sequence number either, and the hash of the data is the id.
var signaturePolicies = map[string][]pubsub.Option{
	"strict_sign":    {pubsub.WithMessageSignaturePolicy(pubsub.StrictSign)},
	"strict_no_sign": {pubsub.WithNoAuthor(), pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithMessageIdFn(hashOfData)},
	"lax_sign":       {pubsub.WithMessageSignaturePolicy(pubsub.LaxSign)},
	"lax_no_sign":    {pubsub.WithMessageSignaturePolicy(pubsub.LaxNoSign)},
}

func hashOfData(message *pb.Message) string {
	digest := sha256.Sum256(message.GetData())
	return string(digest[:])
}

// options are those of both routers.
func (s *pubsubSettings) options() ([]pubsub.Option, error) {
	signing, known := signaturePolicies[s.Signing]
	if !known {
		return nil, fmt.Errorf("argument \"signing\": unknown policy %q", s.Signing)
	}
	options := append([]pubsub.Option{
		pubsub.WithPeerOutboundQueueSize(s.OutboundQueue),
		pubsub.WithValidateQueueSize(s.ValidationQueue),
		pubsub.WithValidateThrottle(s.ValidationThrottle),
		pubsub.WithMaxMessageSize(s.MaxMessageBytes),
		pubsub.WithSeenMessagesTTL(time.Duration(s.SeenSeconds * float64(time.Second))),
	}, signing...)
	if s.ValidationWorkers > 0 {
		options = append(options, pubsub.WithValidateWorkers(s.ValidationWorkers))
	}
	return options, nil
}

// gossipOptions are those of GossipSub alone.
func (s *pubsubSettings) gossipOptions(scores *scoreBoard) ([]pubsub.Option, error) {
	protocols, known := gossipVersions[s.Version]
	if !known {
		return nil, fmt.Errorf("argument \"version\": unknown version %q", s.Version)
	}
	params := pubsub.DefaultGossipSubParams()
	if err := decodeWithDurations(s.Params, &params); err != nil {
		return nil, fmt.Errorf("argument \"params\": %w", err)
	}
	options := []pubsub.Option{
		pubsub.WithGossipSubProtocols(protocols, pubsub.GossipSubDefaultFeatures),
		pubsub.WithGossipSubParams(params),
		pubsub.WithFloodPublish(s.FloodPublish),
		pubsub.WithPeerExchange(s.PeerExchange),
	}
	if s.Score == nil {
		return options, nil
	}
	scoring, err := s.scoreOptions(scores)
	return append(options, scoring...), err
}

// scoreOptions turn scores on. What is not given is off, and the library's
// checks let it pass.
func (s *pubsubSettings) scoreOptions(scores *scoreBoard) ([]pubsub.Option, error) {
	params := pubsub.PeerScoreParams{
		SkipAtomicValidation: true,
		AppSpecificScore:     scores.application,
		DecayInterval:        pubsub.DefaultDecayInterval,
		DecayToZero:          pubsub.DefaultDecayToZero,
	}
	if err := decodeWithDurations(s.Score, &params); err != nil {
		return nil, fmt.Errorf("argument \"score\": %w", err)
	}
	for _, topic := range params.Topics {
		topic.SkipAtomicValidation = true
		if topic.TimeInMeshQuantum == 0 {
			topic.TimeInMeshQuantum = time.Second // the library divides by it even if its weight is 0
		}
	}
	thresholds := pubsub.PeerScoreThresholds{SkipAtomicValidation: true}
	if err := decodeWithDurations(s.Thresholds, &thresholds); err != nil {
		return nil, fmt.Errorf("argument \"thresholds\": %w", err)
	}
	scores.enable()
	return []pubsub.Option{
		pubsub.WithPeerScore(&params, &thresholds),
		pubsub.WithPeerScoreInspect(scores.inspect, scoreInspectPeriod),
	}, nil
}

// decodeWithDurations decodes JSON over defaults, with texts as durations.
func decodeWithDurations(raw json.RawMessage, target any) error {
	if raw == nil {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	value, err := textsAsDurations(value)
	if err != nil {
		return err
	}
	numbers, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return decodeStrictly(numbers, target)
}

func textsAsDurations(value any) (any, error) {
	switch v := value.(type) {
	case string:
		return time.ParseDuration(v)
	case map[string]any:
		for name, member := range v {
			replaced, err := textsAsDurations(member)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			v[name] = replaced
		}
	}
	return value, nil
}

func decodeStrictly(raw []byte, target any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(target)
}
