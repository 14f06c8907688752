"""Two agents exchange messages through a relay while all of them, and the target that is waked, are killed at random.

`python -m tools.soak.agents --messages 10000` starts four processes (`worker` for sender, relay and receiver, `target`
for what is waked), kills one after another with SIGKILL and starts it again, waits until the sender has proof of all
messages, and then reads what each of them has on disk (`verdict`).
"""
