"""The sending side: an approved order as a mail (`render`), and the mail handed to a relay (`submit`).

`blocks` prints the contract's fields for templates; `templates` loads and renders them. For those who write their own,
`template_check` tells what these lose of `sample_orders`, and `preview` shows them, with `pictures`.
"""
