"""A node under load and abuse for a long time: does what it uses stay flat?

`python -m tools.soak --minutes 30`. `node_worker` is the node that is watched, alone in its process; `client` is one
process of peers that use and mistreat it, `load` keeps several of them running and kills them; `verdict` judges the
samples, `report` writes them down.
"""
