"""The page in which a store is looked at: Bokeh figures, and what connects them with `browse`."""
