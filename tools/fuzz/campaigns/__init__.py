"""The campaigns, one module each. They are found by :func:`tools.fuzz.campaign.campaigns`."""
