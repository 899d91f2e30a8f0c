"""The web side: the staff page, and published files fetched over HTTP.

app        the application, made of its routes
home       the first pages: which merchant, and how it stands there
orders     the list of orders, and files of what it shows
order      one order, and saying that it stands in the shop
order_sheet what the page of an order shows, and what changed in it
pull       the routes of files, /v1/files
api        the routes of orders and of what is to be entered, /v1/orders, /v1/pending
api_document  what the API is, as OpenAPI
requested  how values stand in a request of the API
octets     the octets of a file as a response
transfer   what a request for octets asks for: conditions and ranges
access     who asks: bearer tokens, and those who guess
file_pages the pages of published files
profile_pages, own_profile_pages  those of the profiles they are written in
health     whether the program lives and can work, /healthz and /readyz
metrics    what can be measured, /metrics
requests   what is told of each request: a line in the log, and numbers
visits     who visits a page, and what they may do there
pages      what every page has
signing_in the sign-in and the first user; passwords, second_factor, oidc, setup_code: what it asks for
accounts   a user's own account
users      all users
problems   what went wrong, as application/problem+json
server     the server around the application, its port and its certificate
connection how long it waits for a request, how many may be open
"""
