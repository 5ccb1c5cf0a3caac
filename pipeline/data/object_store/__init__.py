"""Object stores: what pyarrow's filesystems do not say of them, and do not do."""
