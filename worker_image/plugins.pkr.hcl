# In a file of its own: Packer 1.6 (Debian 12) has these built in and does not know this block.
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0, < 2.0.0"
    }
    googlecompute = {
      source  = "github.com/hashicorp/googlecompute"
      version = ">= 1.1.0, < 2.0.0"
    }
    azure = {
      source  = "github.com/hashicorp/azure"
      version = ">= 2.1.0, < 3.0.0"
    }
  }
}
