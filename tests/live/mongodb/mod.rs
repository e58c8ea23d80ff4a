//! Archives of MongoDB.
