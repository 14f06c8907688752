"""The Lethean mesh on a live node: encrypted JSON messages over WebSocket, a worker and a controller."""
