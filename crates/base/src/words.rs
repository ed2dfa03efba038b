//! Closed sets of words: enums whose variants have one name in JSON, tables and documents.

/// Declares an enum with the word of each variant: `ALL` in the order in which they are shown,
/// `key()` for the word, and `Display` by it.
///
/// ```
/// slackwater_base::words! {
///     /// A colour.
///     Colour {
///         /// Like blood.
///         Red = "red",
///     }
/// }
/// assert_eq!(Colour::ALL[0].to_string(), "red");
/// ```
#[macro_export]
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every one of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in JSON, in tables and in documents.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(self.key())
            }
        }
    };
}
