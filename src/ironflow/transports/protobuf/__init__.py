"""Binary protobuf messages, by the descriptors in `ironflow/proto`. See decision 0023."""
