"""A driver of oslo.messaging: notifications over Apache Kafka, ``rkafka://``.

The driver is found by its entry point; nothing needs to be imported. See docs/python.md.
"""
