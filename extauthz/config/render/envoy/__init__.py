"""Envoy's side of the policy file: a complete bootstrap, made from the same values that the service decides by.

`render_envoy` (in `bootstrap`) is the entry. Only commands import this package: the typed messages of
`envoy-data-plane` take about 0.3 s to import, which `serve` must not pay.
"""
