"""Why others do not reach a node, or it does not reach a peer: from what the node can see to a cause and a remedy.

Pure: evidence goes in, a verdict comes out. The rules are tables whose first row that holds decides (`nat_rules`,
`path_rules`); what a row advises is in `remedies`. Gathering the evidence is the business of `mesh.services.diagnosis`.
"""

from mesh.protocols.diagnosis.evidence import (
    AddressSeen,
    Attempt,
    Fault,
    NatEvidence,
    PathEvidence,
    RelaySeen,
    RouteSeen,
)
from mesh.protocols.diagnosis.health import Condition, conditions
from mesh.protocols.diagnosis.nat_rules import diagnose_nat
from mesh.protocols.diagnosis.path_rules import diagnose_path
from mesh.protocols.diagnosis.verdict import Step, Verdict, Where

__all__ = [
    "AddressSeen",
    "Attempt",
    "Condition",
    "Fault",
    "NatEvidence",
    "PathEvidence",
    "RelaySeen",
    "RouteSeen",
    "Step",
    "Verdict",
    "Where",
    "conditions",
    "diagnose_nat",
    "diagnose_path",
]
