"""S3, and stores that speak its language.

`prefix` is the store itself. It is made of `sending`, `fetching`, `staging` and `conditions`, which go by the
requests of `bucket`. Below that, `client` opens the way to S3, `signing` signs what goes there, `retries` tries it
again, and `errors` says what became of it. Where boto need not be, nothing but `options` may be imported.
"""
