"""The built dashboard, as the server serves it; no feature's noun occurs here. First file: site.py.

The sources are in `dashboard/` at the root of the checkout.
"""
