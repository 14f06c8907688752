package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

type order struct {
	OrderID   string  `json:"orderId"`
	AgentID   string  `json:"agentId"`
	BuyerID   string  `json:"buyerId"`
	SellerID  string  `json:"sellerId,omitempty"`
	Price     float64 `json:"price"`
	Status    string  `json:"status"`
	Timestamp int64   `json:"timestamp"`
}

type orderMessage struct {
	Type      string  `json:"type"`
	OrderID   string  `json:"orderId"`
	AgentID   string  `json:"agentId"`
	BuyerID   string  `json:"buyerId"`
	SellerID  string  `json:"sellerId,omitempty"`
	Price     float64 `json:"price"`
	Status    string  `json:"status"`
	Timestamp int64   `json:"timestamp"`
}

// orderStatuses say what a request makes of an order that names no status.
var orderStatuses = map[string]string{
	"order.create": "pending", "order.accept": "accepted", "order.complete": "completed", "order.cancel": "cancelled",
}

// orderTypes are the words inside the messages.
var orderTypes = map[string]string{
	"order.create": "new", "order.accept": "accept", "order.complete": "complete", "order.cancel": "cancel",
}

type orderReply struct {
	Order *order `json:"order,omitempty"`
	Error string `json:"error,omitempty"`
}

func (m *market) answerMarket(kind string, data []byte, from peer.ID) []byte {
	if kind == "info" {
		known, err := m.all(m.ctx)
		if err != nil {
			return []byte(err.Error())
		}
		return marshalGo(known)
	}
	if orderStatuses[kind] != "" {
		return marshalGo(m.takeOrder(kind, data, from))
	}
	return []byte("unknown message type: " + kind)
}

func (m *market) takeOrder(kind string, data []byte, from peer.ID) orderReply {
	var message orderMessage
	if err := unmarshalWhole(data, &message); err != nil {
		return orderReply{Error: "invalid request: " + err.Error()}
	}
	if message.OrderID == "" {
		return orderReply{Error: "order ID is required"}
	}
	made := order{
		message.OrderID, message.AgentID, message.BuyerID, message.SellerID, message.Price, message.Status, message.Timestamp,
	}
	if made.BuyerID == "" {
		made.BuyerID = from.String()
	}
	if made.SellerID == "" {
		made.SellerID = m.self().String()
	}
	if made.Status == "" {
		made.Status = orderStatuses[kind]
	}
	if made.Timestamp == 0 {
		made.Timestamp = time.Now().Unix()
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.orders[made.OrderID] = made
	return orderReply{Order: &made}
}

// sendOrder asks a seller for an order's next state.
func (m *market) sendOrder(ctx context.Context, to peer.ID, kind string, message orderMessage) (orderReply, error) {
	message.Type = orderTypes[kind]
	var reply orderReply
	data, err := m.askMarket(ctx, to, kind, marshalGo(message))
	if err != nil {
		return reply, err
	}
	return reply, json.Unmarshal(data, &reply)
}
