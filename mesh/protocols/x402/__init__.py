"""Payments inside a stream, without a world (the Betar marketplace, section 3): a purchase happens exactly once.

The two machines, `seller.Seller` and `buyer.Buyer`, are generators. What they need of the world they yield as a step of
`steps` (write this record, ask the ledger, send that frame), and are sent what came of it; so asyncio, a simulation or a
test drives the same code, and may stop between any two steps, as a crash does. Clock, randomness, keccak, signing and
recovery are arguments.

What holds, whatever stops, is late, lost or doubled:

1.  *The record is written before the world is touched.* A buyer's purchase has its id before the first frame leaves, and
    its authorization (nonce, payee, amount, token, chain, times) is on disk before it is signed. A seller's sale is on
    disk before the facilitator is asked to settle it, and the work is called begun before it begins.
2.  *One purchase, one signature.* Once an authorization may have left, its outcome is *unknown* until the output comes or
    the ledger tells: the nonce was used, or the head of the chain has passed `validBefore` and the nonce is unused there,
    so that it can never be. No error of a seller ends that state, and no new signature is made in it.
3.  *A seller believes its ledger alone.* Paid means: a receipt of the chain in which the token says that this nonce was
    used, and as its very next event that the amount went from the payer to the payee. That the nonce is used proves
    nothing by itself: the payer can cancel an authorization, or sign a second one with the same nonce to itself. What a
    facilitator answers is a hint where to look.
4.  *A challenge is for one peer, one resource, one price*, and for one attempt. Sales are keyed by payer and the 32 bytes
    of the nonce, and marked once the signature is good: a bad one burns nobody's nonce.
5.  *Work follows payment.* After it the buyer gets the output, or a refund record: a receipt that the payee signs.

::

    buyer    INTENDED --> REFUSED                                     seller   (challenge) --> TAKEN --> RUNNING --> DONE
             INTENDED --> DELIVERED (free)                                                     TAKEN --> VOID
             INTENDED --> AUTHORIZED --> DELIVERED                                             RUNNING --> REFUND
             AUTHORIZED --> UNKNOWN --> DELIVERED | PAID | UNPAID
             PAID --> DELIVERED

A buyer whose answer was lost asks for it with `mesh.claim`, a message that the stock network does not know (it answers
1000); the seller gives it to the peer that bought, and nobody else. A payment that is sent twice is refused as on the
stock network.

================  ======================================================================================================
module            what it is
================  ======================================================================================================
``amounts``       prices, atomic units, addresses, fixed-size hexadecimal
``typed_data``    EIP-712: the digests of an EIP-3009 authorization and of our receipts
``messages``      the JSON of both sides, and error codes
``checks``        what a payment must be before it is settled, and a challenge before it is signed
``challenges``    the challenges that are open
``evidence``      what the chain says, and what follows from it
``records``       a sale, a purchase, and the receipt for one
``steps``         what the machines ask of the world
``seller``        selling, claims, recovery
``settling``      from an authorization to what the ledger makes of it
``buyer``         buying and finding out
================  ======================================================================================================
"""
