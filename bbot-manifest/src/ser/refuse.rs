//! What the format cannot express.

/// Implements methods of `serde::Serializer` that return an error, which `refusal` makes.
macro_rules! refuse {
    ($refusal:ident: $($method:ident($($type:ty),*) -> $ok:ty,)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<$ok, Error> {
            $refusal()
        }
    )*};
}
pub(super) use refuse;
