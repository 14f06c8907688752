package main

import "runtime/debug"

const libp2pModule = "github.com/libp2p/go-libp2p"

// libp2pVersion reads the version this binary was linked with.
func libp2pVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dependency := range info.Deps {
		if dependency.Path == libp2pModule {
			return dependency.Version
		}
	}
	return "unknown"
}
