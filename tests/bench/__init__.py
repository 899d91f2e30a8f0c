"""Measurements of reading forwarded mails: beside public tools, in time, and carrier by carrier."""
