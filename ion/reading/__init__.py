"""Raw message → graded notifications: find (`unwrap`), read (`streams`, `claims`), judge (`judge`).

Pure: no database, no network, no settings; what it needs comes in as octets and keys.
"""

from ion.reading.bounces import Bounce, Report
from ion.reading.confirmations import Confirmation
from ion.reading.judge import Grade, Judged, read_bounce, read_message
from ion.reading.proof import Problem

__all__ = ["Bounce", "Confirmation", "Grade", "Judged", "Problem", "Report", "read_bounce", "read_message"]
