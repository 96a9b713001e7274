"""Search of serving settings for one model on one machine, by judging the real service.

Like data/ and train/ it produces what is submitted (`serve.env`); bench/ only measures.
"""
