"""Authentication: who sent a mail that carries no seal, as far as signatures tell.

Only mail without a seal is examined, and only for a merchant whose policy believes somebody. A notification counts as
sent by whom the policy names where a signature of theirs covers it: what the signature covers, read by itself, must
give that very notification. The outcome decides nothing here; the store does, with the policy.

    authenticator   from a message and what was read in it to the evidence for each notification
    examiner        the child process in which hostile octets meet the signature library and the network
    checks          one mail: its DKIM signatures, who else verified them, what they cover
    originals       the octets of mails attached to a mail, exactly as they were attached
    results         Authentication-Results and ARC-Authentication-Results
    keys            the keys of signers, from the DNS
"""

from ion.trust.authenticator import Authenticator, Evidence

__all__ = ["Authenticator", "Evidence"]
