// Program ipfs is kubo's own command, built from the module proxy at the
// version that go.mod pins. It may run only where there is no way out: see
// the README in the folder above.
package main

import (
	"os"

	"github.com/ipfs/kubo/cmd/ipfs/kubo"
)

func main() {
	os.Exit(kubo.Start(kubo.BuildDefaultEnv))
}
