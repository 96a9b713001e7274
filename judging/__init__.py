"""The local judge: asks a service as the contest's judge would, and scores its answers.

Never ships in the image and imports nothing of `serving`, so that contract bugs show.
"""
