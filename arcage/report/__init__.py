"""Reports as HTML pages: on an evaluation, on a labelled set, and on the predictions for a folder."""
