"""What several tests share: small detectors, runs, made-up runs, browsers, checks of gradients."""
