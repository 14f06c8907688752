"""What the conformance harness is run against: nodes of this project, sound or broken on purpose, and peers of others."""
