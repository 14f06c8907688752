"""AutoNAT without sockets: what is asked of whom, what answers are worth, what a server dials and how often."""
