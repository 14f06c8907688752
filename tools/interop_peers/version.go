package main

import "runtime/debug"

const (
	libp2pModule = "github.com/libp2p/go-libp2p"
	kadModule    = "github.com/libp2p/go-libp2p-kad-dht"
)

// versionOf reads the version of a module that this binary was linked with.
func versionOf(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return dependency.Version
		}
	}
	return "unknown"
}
