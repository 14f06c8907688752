"""Every wire format mesh speaks, as bounded construct schemas: the single definition.

`grammar` is the vocabulary, `catalogue` the list of formats. A running node never imports this package: it
uses the plain Python that `tools.spec_compiler` writes from it into `mesh.codecs`.
"""
