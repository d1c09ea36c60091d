"""Feedback from elsewhere and for elsewhere: files and data sets in, exports out."""
