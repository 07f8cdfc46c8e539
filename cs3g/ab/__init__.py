"""Models beside each other on history: scored in process or through Kafka, judged, and reported."""
