module mesh/lethean_peer

go 1.25.0

require (
	github.com/gorilla/websocket v1.5.3
	golang.org/x/crypto v0.47.0
)

require golang.org/x/sys v0.40.0 // indirect
