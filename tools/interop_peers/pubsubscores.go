package main

import (
	"errors"
	"maps"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

var errNoScores = errors.New("pubsub was started without \"score\"")

// scoreBoard holds the latest scores, and the application's part of them,
// which is what a test says.
type scoreBoard struct {
	mutex   sync.Mutex
	enabled bool
	granted map[peer.ID]float64
	latest  map[peer.ID]*pubsub.PeerScoreSnapshot
	round   int
}

func newScoreBoard() *scoreBoard {
	return &scoreBoard{granted: map[peer.ID]float64{}}
}

func (b *scoreBoard) enable() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.enabled = true
}

func (b *scoreBoard) grant(p peer.ID, score float64) error {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if !b.enabled {
		return errNoScores
	}
	b.granted[p] = score
	return nil
}

// application is P5 of a peer before its weight.
func (b *scoreBoard) application(p peer.ID) float64 {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.granted[p]
}

// inspect takes the scores the router tells from time to time.
func (b *scoreBoard) inspect(told map[peer.ID]*pubsub.PeerScoreSnapshot) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.latest = maps.Clone(told)
	b.round++
}

func (b *scoreBoard) report() (fields, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if !b.enabled {
		return nil, errNoScores
	}
	scores := fields{}
	for p, snapshot := range b.latest {
		scores[p.String()] = describeScore(snapshot)
	}
	return fields{"scores": scores, "round": b.round}, nil
}

func describeScore(snapshot *pubsub.PeerScoreSnapshot) fields {
	topics := fields{}
	for name, topic := range snapshot.Topics {
		topics[name] = fields{
			"time_in_mesh_s":     topic.TimeInMesh.Seconds(),
			"first_deliveries":   topic.FirstMessageDeliveries,
			"mesh_deliveries":    topic.MeshMessageDeliveries,
			"invalid_deliveries": topic.InvalidMessageDeliveries,
		}
	}
	return fields{
		"score":         snapshot.Score,
		"topics":        topics,
		"application":   snapshot.AppSpecificScore,
		"ip_colocation": snapshot.IPColocationFactor,
		"behaviour":     snapshot.BehaviourPenalty,
	}
}
