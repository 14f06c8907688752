"""Waking the agent: each accepted message calls its gateway's web hook, or a command, at least once.

    inbox's transaction -> queue.enqueue -> kick -> Waking -> text -> hook | command -> queue.finish (+ `invoked`)

A row of the queue is written in the transaction that stores the message, so what is stored is also waked for. Rows of
one sender are put together into a batch, which is frozen, with its idempotency key and its text, before the first call;
every later call of that batch, after an error or a crash, says the same under the same key, so that a gateway knows it
again. One batch of a sender is under way at a time, so wakes
come in the order of the messages; what a sender may cause in a minute is bounded, and more waits for
the next batch.

    channel = channel_of(settings)              # None: nobody is to be waked
    waking = Waking(store, channel, clock=time.time, api_url=url, pace=pace_of(settings), invoked=receipts)
    await waking.prepare()                      # before the first enqueue
    async with waking: ...                      # in the inbox's transaction: waking.enqueue(database, record)
                                                # after its commit: waking.kick()
"""
