package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
)

const infoPatience = 3 * time.Second

// listing is a value of the mapping (section 7.1).
type listing struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Price     float64  `json:"price"`
	Metadata  string   `json:"metadata"`
	SellerID  string   `json:"sellerId"`
	Addrs     []string `json:"addrs,omitempty"`
	Protocols []string `json:"protocols,omitempty"`
	Timestamp int64    `json:"timestamp"`
	TokenID   string   `json:"tokenId,omitempty"`

	OnChainReputation *reputation `json:"onChainReputation,omitempty"`
}

// reputation is what a registry says; it is never in the mapping.
type reputation struct {
	Count    int64 `json:"count"`
	Score    int64 `json:"score"`
	Decimals int64 `json:"decimals"`
}

// listingMessage is what the topic carries (section 7.3).
type listingMessage struct {
	Type      string   `json:"type"`
	AgentID   string   `json:"agentId"`
	Name      string   `json:"name"`
	Price     float64  `json:"price"`
	Metadata  string   `json:"metadata"`
	SellerID  string   `json:"sellerId"`
	Addrs     []string `json:"addrs,omitempty"`
	Protocols []string `json:"protocols,omitempty"`
	Timestamp int64    `json:"timestamp"`
	TokenID   string   `json:"tokenId,omitempty"`
}

func (l listing) message(kind string) listingMessage {
	return listingMessage{
		kind, l.ID, l.Name, l.Price, l.Metadata, l.SellerID, l.Addrs, l.Protocols, l.Timestamp, l.TokenID,
	}
}

func (each listingMessage) listing() listing {
	return listing{
		each.AgentID, each.Name, each.Price, each.Metadata, each.SellerID, each.Addrs, each.Protocols,
		each.Timestamp, each.TokenID, nil,
	}
}

// agentMetadata is the file that a listing names (section 6.8).
type agentMetadata struct {
	Type        string         `json:"type"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Image       string         `json:"image,omitempty"`
	Services    []agentService `json:"services"`
	X402Support bool           `json:"x402Support"`
	Active      bool           `json:"active"`
}

type agentService struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// marshalGo writes JSON as the wire has it: json.Marshal escapes HTML.
func marshalGo(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // every value of this program can be written
	}
	return data
}

func listingKey(id string) datastore.Key {
	return datastore.NewKey("/agents/" + base64.RawURLEncoding.EncodeToString([]byte(id)))
}

// apply makes a message part of the mapping, whoever sent it (section 7.4).
func (m *market) apply(ctx context.Context, message listingMessage) error {
	if message.AgentID == "" {
		return errors.New("a listing without an id")
	}
	if message.Type == "delist" {
		return m.store.Delete(ctx, listingKey(message.AgentID))
	}
	return m.store.Put(ctx, listingKey(message.AgentID), marshalGo(message.listing()))
}

func (m *market) publish(ctx context.Context, message listingMessage) error {
	if err := m.apply(ctx, message); err != nil {
		return err
	}
	return m.listings.Publish(ctx, marshalGo(message))
}

func (m *market) receiveListings(subscription *pubsub.Subscription) {
	for {
		received, err := subscription.Next(m.ctx)
		if err != nil {
			return
		}
		var message listingMessage
		if json.Unmarshal(received.Data, &message) != nil || message.AgentID == "" {
			continue
		}
		if err := m.apply(m.ctx, message); err != nil {
			m.out.send(fields{"event": "apply_failed", "error": err.Error()})
		}
	}
}

// announceAgain tells of this node's agents every so often.
func (m *market) announceAgain() {
	ticker := time.NewTicker(max(m.options.announce, 100*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-ticker.C:
			for _, each := range m.ownListings() {
				if err := m.publish(m.ctx, each.message("update")); err != nil && m.ctx.Err() == nil {
					m.out.send(fields{"event": "announce_failed", "error": err.Error()})
				}
			}
		}
	}
}

func (m *market) ownListings() []listing {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	found := []listing{}
	for _, each := range m.agents {
		if each.listed {
			found = append(found, m.listingOf(each))
		}
	}
	return found
}

func (m *market) listingOf(each *agent) listing {
	return listing{
		ID: each.id, Name: each.name, Price: each.price, Metadata: each.metadata, SellerID: m.self().String(),
		Addrs: addrStrings(m.pubsub.host.Addrs()), Protocols: []string{string(x402Protocol)}, Timestamp: time.Now().Unix(),
	}
}

// all lists what the mapping holds; a value that is not JSON is left out.
func (m *market) all(ctx context.Context) ([]listing, error) {
	results, err := m.store.Query(ctx, query.Query{Prefix: "/agents"})
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	entries, err := results.Rest()
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	found := []listing{}
	for _, each := range entries {
		var one listing
		if json.Unmarshal(each.Value, &one) == nil {
			found = append(found, one)
		}
	}
	return found, nil
}

// find is by id, then by the id without the seller's before it.
func (m *market) find(ctx context.Context, id string) (listing, error) {
	known, err := m.all(ctx)
	if err != nil {
		return listing{}, err
	}
	for _, each := range known {
		if each.ID == id || strings.TrimPrefix(each.ID, each.SellerID+"/") == id {
			return each, nil
		}
	}
	return listing{}, fmt.Errorf("agent not found: %s", id)
}

// pullInfo asks a peer that has just been connected what it knows. A peer of
// another kind is left alone, one that is not ready yet is asked again.
func (m *market) pullInfo(from peer.ID) {
	for range 3 {
		ctx, cancel := context.WithTimeout(m.ctx, infoPatience)
		known, err := m.info(ctx, from)
		cancel()
		if err == nil {
			for _, each := range known {
				_ = m.apply(m.ctx, each.message("update"))
			}
			m.out.send(fields{"event": "info", "peer": from.String(), "count": len(known)})
			return
		}
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func (m *market) info(ctx context.Context, from peer.ID) ([]listing, error) {
	reply, err := m.askMarket(ctx, from, "info", nil)
	if err != nil {
		return nil, err
	}
	var known []listing
	return known, unmarshalWhole(reply, &known)
}

// unmarshalWhole refuses whatever comes after the value.
func unmarshalWhole(data []byte, value any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(value); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something comes after the JSON")
	}
	return nil
}

// addMetadata stores an agent's file as UnixFS and gives its CID.
func (m *market) addMetadata(ctx context.Context, name, description string) (string, error) {
	content := marshalGo(agentMetadata{Type: "Agent", Name: name, Description: description, X402Support: true, Active: true})
	node := merkledag.NodeWithData(unixfs.FilePBData(content, uint64(len(content))))
	if err := node.SetCidBuilder(merkledag.V1CidPrefix()); err != nil {
		return "", err
	}
	return node.Cid().String(), m.dag.Add(ctx, node)
}

// atomicUnits is a price in millionths of the token (section 3.4).
func atomicUnits(price float64) int64 { return int64(math.Trunc(price * 1e6)) }
