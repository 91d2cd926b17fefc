# Protobuf as protobuf::libprotobuf and its compiler as protobuf::protoc, for the wire's messages.

find_package(Protobuf CONFIG QUIET)
if(NOT TARGET protobuf::libprotobuf)
  find_package(Protobuf REQUIRED)
endif()
